/** Errors that the device itself raises. `code` is of the server's table (docs/reference/errors.md), so that programs need one vocabulary. */

export class HoldfastError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint = "",
    readonly field?: string,
    readonly retryAfter = 0,
  ) {
    super(message);
    this.name = "HoldfastError";
  }
}

/** An op, path or change that cannot be read, or does not fit where it is to be applied. */
export const malformed = (message: string, field?: string): HoldfastError => new HoldfastError("malformed", message, "", field);

/** A value that cannot be kept; `field` says where, as a JSON Pointer. */
export const invalid = (message: string, field?: string): HoldfastError => new HoldfastError("invalid", message, "", field);
