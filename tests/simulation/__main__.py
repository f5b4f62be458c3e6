"""`python -m tests.simulation SEED [COUNT]`: run seeds one after another; the failures with their seeds, and how much happened."""

from __future__ import annotations

import logging
import sys
import time
import traceback

from tests.simulation.simulation import simulate


def main(first: int, count: int) -> int:
    logging.disable()
    began, failed = time.process_time(), []
    messages = deeds = crashes = entries = 0
    for seed in range(first, first + count):
        try:
            outcome = simulate(seed)
        except Exception as error:
            failed.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:600]}", flush=True)
            if count == 1:
                traceback.print_exc()
            continue
        messages, deeds = messages + outcome.messages, deeds + outcome.deeds
        crashes, entries = crashes + outcome.crashes, entries + outcome.entries
        if count == 1:
            print(f"digest {outcome.digest}")
    seconds = time.process_time() - began
    print(f"{count} seeds from {first}: {len(failed)} failed {failed}; {deeds:,} deeds, {messages:,} messages, {crashes:,} crashes, "
          f"{entries:,} entries, {seconds:.1f} s of processor time")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0, int(sys.argv[2]) if len(sys.argv) > 2 else 1))
