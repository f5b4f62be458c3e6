/** Makes differences between texts be found by words. Loaded by whoever needs it: a schema whose texts have defaults, or a program that
 * sets long texts as a whole. */
import { replacements } from "./alignment.js";
import { alignBy } from "./diff.js";

alignBy(replacements);
