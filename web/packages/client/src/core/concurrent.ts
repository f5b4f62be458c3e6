/** What merging has to know where others are concerned. Whoever pulls loads it, and gives it to `decide.mergeBy`. */
export { included, newerInside, rivalsAt } from "./rivals.js";
export { transform } from "./transform.js";
export { contextAfter, eachText, gather, passOver, pastIdentical, takenBack, TAKEN_BACK } from "./waiting.js";
