/** A file that cannot be decoded. `kind` is the name of the class that `bitstream` raises in Python. */
export class FileError extends Error {
  constructor(kind, message) {
    super(message);
    this.name = "FileError";
    this.kind = kind;
  }
}
