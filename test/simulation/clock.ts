import { syncBuiltinESMExports } from "node:module";
import { install } from "@sinonjs/fake-timers";

/** A moment in the year 2026: no schedule depends on the day on which it is run. */
const START = Date.UTC(2026, 5, 1, 12);

/** Without any progress for so long in real time, which the disk may need, a schedule hangs. */
const LONGEST_IDLE_NS = 10_000_000_000n;

const { setImmediate: afterIo } = globalThis;

/** Time that passes only when {@link Clock.drive} says so: `Date`, `performance.now` and all timers of the process. */
export class Clock implements Disposable {
  readonly #clock: ReturnType<typeof install>;

  constructor() {
    this.#clock = install({
      now: START,
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"],
    });
    // So that modules which import timers by name get the new ones too.
    syncBuiltinESMExports();
  }

  /** Lets time pass, timer by timer, until the work is done or `isOver` says so. */
  async drive(work: Promise<unknown>, isOver: () => boolean): Promise<void> {
    let isDone = false;
    const end = () => {
      isDone = true;
    };
    work.then(end, end);
    for (let movedAt = process.hrtime.bigint(); ;) {
      await new Promise((resolve) => afterIo(resolve));
      if (isDone || isOver()) return;
      if (this.#clock.countTimers() > 0) {
        this.#clock.next();
        movedAt = process.hrtime.bigint();
      } else if (process.hrtime.bigint() - movedAt > LONGEST_IDLE_NS) {
        throw new Error("the run hangs: no timer is set, and nothing comes back");
      }
    }
  }

  /** Forgets all timers, as the end of a process does. */
  forget(): void {
    this.#clock.reset();
  }

  [Symbol.dispose](): void {
    this.#clock.uninstall();
    syncBuiltinESMExports();
  }
}
