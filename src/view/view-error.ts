/** A request that cannot be answered. What it says is shown on the page, so it names no path and nothing of the program. */
export class ViewError extends Error {
  override readonly name = "ViewError";
  readonly status: 400 | 401 | 403 | 404 | 405 | 500 | 503;
  readonly hint: string | null;

  constructor(status: ViewError["status"], message: string, hint: string | null = null) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}
