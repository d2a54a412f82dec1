// Loaded into a process that is measured (`node --import`): writes down at its end what it has used.
import { writeFileSync } from "node:fs";

const path = process.env.DATAGEN_BENCH_USAGE;

process.once("exit", () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  if (path) writeFileSync(path, JSON.stringify({ cpuMs: (userCPUTime + systemCPUTime) / 1e3, peakMb: maxRSS / 1024 }));
});
