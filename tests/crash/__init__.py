"""A crash tester: queries over a load, killed with -9 again and again, must end as if nothing had happened.

    python -m tests.crash --times 200 --seed 1

A *campaign* is one data directory and a number of *lives*. A life opens the directory, makes what is
missing of the streams and queries, and loads on from where the log stands (`workload.py`, `life.py`); it
is killed, at a fail point or at a random moment, or closes properly. A last life lets everything finish.
Then the directory is compared with one that had the same load in a single life (`compare.py`).

What must be equal:

- Every record that was sent is there once: what was acknowledged before a kill as well as what was sent
  again after one. The inputs are a function of the seed, so that each is known.
- Streams: all records of the output topics in order, per partition: key, value, timestamp.
- Tables: the final state, as a pull query sees it. The changelog need not be the same record for record:
  batches decide which intermediate changes of a key are told, and a kill decides how batches are cut. But
  each key's records are among those that batches of one record tell, in their order, none twice; the last
  one is the same. The time of a tombstone is that of the change told, and not compared.
- The processing log: each bad record once; as many late rows of each query.
- The topics there are: nothing is left of queries that were made and dropped in between.
"""
