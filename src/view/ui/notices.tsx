import { Refusal } from "./from-server.ts";
import { visible } from "./text.tsx";

/** Says what went wrong, and what to do. */
export function Failure({ error }: { error: Error }) {
  const hint = error instanceof Refusal ? error.hint : null;
  const isStranger = error instanceof Refusal && error.status === 401;
  return (
    <div class="notice bad" role="alert">
      <p>{isStranger ? "This browser has not been let in." : visible(error.message)}</p>
      {isStranger && (
        <p>
          Open the address that <code>datagen view</code> printed, with all that stands behind the #.
        </p>
      )}
      {!isStranger && hint !== null && <p>{visible(hint)}</p>}
    </div>
  );
}

/** Stands below a text that is cut. */
export function Beginning() {
  return <p class="faint">Only the beginning is shown: the text is very long.</p>;
}
