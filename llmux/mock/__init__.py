"""The simulated provider: real sockets, real protocols, made-up answers, faults on request.

server    HTTP/1.1 over plain asyncio, down to the socket, because faults live there
provider  what happens with one request: record, fault, check, answer
ask       what a request asks for, told alike for every protocol
answer    what is answered: a function of the request and the seed alone
invent    a value for a JSON Schema
wire      the seam of a protocol; anthropic and openai_chat fill it, one file each
play      an answer on the socket, with or without a fault
faults    what can go wrong, and with which requests
profiles  faults by name
record    what came in, byte for byte
demo      the configuration that `llmux demo` runs and the requests it sends
"""
