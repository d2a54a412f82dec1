import type { CallError } from "../providers/provider.ts";
import type { Reservation, Result } from "../store/runs/result.ts";
import type { Waiting } from "./backlog.ts";
import type { Lane } from "./lane.ts";
import type { Ticket, TokenCost } from "./pace.ts";
import type { PreparedRequest } from "./prepare.ts";

/** The next call in line: its request is rendered, and waits until the pace allows it. */
export interface Head extends Waiting {
  request: PreparedRequest;
  /** The tokens that the request takes from the provider's rate limits. */
  tokens: TokenCost;
  reserved: Reservation;
  /** The amount set aside for it, in billionths of a US dollar; 0 if the run has no cap. */
  most: number;
}

/** A request that may be sent now. */
export interface Dispatched extends Head {
  /** The server that it goes to. */
  lane: Lane;
  /** Its base URL, if there are several servers. */
  server: string | null;
  /** Its token, if it leaves by a queue. */
  token: string | null;
  ticket: Ticket;
}

/** The result of a request, and what to do after it is stored. */
export interface Arrival {
  result: Result;
  onStored: () => void;
}

/** How a request failed. */
export interface Failure {
  lane: Lane;
  error: CallError;
  /** Whether it was refused for its rate. */
  isLimit: boolean;
  /** How long it says to wait. */
  statedMs: number;
  now: number;
  /** How many were in flight, this one included. */
  inFlight: number;
}

/** The requests that can be sent at a moment. */
export interface Picked {
  leaving: Dispatched[];
  /** The milliseconds until there may be more; null if there can be more only after a result. */
  waitMs: number | null;
}
