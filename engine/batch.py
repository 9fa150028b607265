"""A batch: an Arrow record batch whose columns are typed columns plus meta columns.

Meta columns begin with `$`, which no SQL name that reaches the engine does:

    $time       int64, ms   the record's event time
    $seq        int64       the place in the order of processing, rising within a batch; rows that one
                            input row caused share its number
    $partition  int32       the source partition the row came from
    $offset     int64       the record's offset (only where the plan asks for it)
    $headers    list<struct<key: string, value: binary>> (only where the plan asks for it)
    $weight     int8        table edges only: +1 puts the row in, -1 takes it back
    $null       bool        stream edges, only where the plan asks for it: the record's value is null
    $start, $end  int64, ms  windowed edges only: the window's bounds

An update of a table's row is -1 (old) then +1 (new) with the same `$seq`. A lone -1 is a delete. A
delete whose old row nobody kept has only its key columns; the others are null.
"""

from __future__ import annotations

TIME = "$time"
SEQ = "$seq"
PARTITION = "$partition"
OFFSET = "$offset"
HEADERS = "$headers"
WEIGHT = "$weight"
NULL_VALUE = "$null"
WINDOW_START = "$start"
WINDOW_END = "$end"
