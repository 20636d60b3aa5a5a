//! Entry points for fuzzing: each takes any bytes, must not panic, and checks what it can.
