"""How the machine does it: devices, memory, logs. Nothing here decides a result."""
