"""What a request costs, measured: `make bench` (docs/performance.md says how, and what came out).

bodies    what is asked and answered, the same bytes on every run
stub      the provider that answers at once (or every 10 ms an event)
load      the clients: a closed loop over kept connections, which checks every answer
floors/   what the same machine needs for less: an empty application, an empty framework, a bare proxy
process   a program under measurement: started on its core, its CPU time and memory read from the system
cells     what is measured: each load with each program that can take it
growth    how the cost grows with what; plot draws it
peers/    other gateways under the same load
rounds    cells and programs in turns; figures makes the ratios and judges them
run       the whole measurement, its table; gate is the short one for every change, soak the long one for memory
stops     each stop of a request by itself; micro_json, micro_sse and micro_tokens are parts of it with odd inputs too
startup, stall, reservation   figures that are no load: memory, the first answer, the loop's stalls, the store
"""
