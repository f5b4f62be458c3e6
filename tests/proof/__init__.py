"""The promises, attacked from outside: isolation, bad input, real crashes, full disks, secrets at rest, overload. May touch everything,
through public calls, sockets and processes; a finding is mended in the module that owns it."""
