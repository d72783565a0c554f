;; Writes "first", and two seconds later "second", and ends with 0.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 200) "first\nsecond\n")
  (func $print (param $at i32) (param $length i32)
    (i32.store (i32.const 160) (local.get $at))
    (i32.store (i32.const 164) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 160) (i32.const 1) (i32.const 168))))
  (func (export "_start")
    ;; A subscription at 0, as in forever.wat.
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 2000000000))
    (call $print (i32.const 200) (i32.const 6))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
    (call $print (i32.const 206) (i32.const 7))))
