import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { visible } from "./text.tsx";

interface Props {
  title: string;
  class: string;
  onClose: () => void;
  children: ComponentChildren;
}

/** A dialog over the page, which Escape closes. The focus goes back to where it was. */
export function Modal({ title, class: name, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  // In layout effects, because later ones could take the focus from what a key has given it to.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const shown = dialog.current;
    shown?.showModal();
    return () => {
      // Beside an open dialog nothing can have the focus.
      shown?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={name}
      role="dialog"
      aria-labelledby="modal-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id="modal-title">{visible(title)}</h2>
        <button type="button" onClick={onClose}>
          Close <kbd>Esc</kbd>
        </button>
      </header>
      {children}
    </dialog>
  );
}
