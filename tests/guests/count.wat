;; Writes 00000, 00001 and so on, a line each, every 5 ms until it is killed.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 205) "\n")
  (func (export "_start") (local $n i32) (local $rest i32) (local $at i32)
    ;; A subscription at 0, as in forever.wat.
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 5000000))
    (i32.store (i32.const 160) (i32.const 200))
    (i32.store (i32.const 164) (i32.const 6))
    (loop $again
      ;; Its digits, from the last to the first.
      (local.set $rest (local.get $n))
      (local.set $at (i32.const 204))
      (loop $digit
        (i32.store8 (local.get $at)
          (i32.add (i32.const 48) (i32.rem_u (local.get $rest) (i32.const 10))))
        (local.set $rest (i32.div_u (local.get $rest) (i32.const 10)))
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (br_if $digit (i32.ge_u (local.get $at) (i32.const 200))))
      (drop (call $fd_write (i32.const 1) (i32.const 160) (i32.const 1) (i32.const 168)))
      (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $again))))
