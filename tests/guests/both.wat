;; Writes to stdout and stderr in turn: "out 1", "err 1", "out 2", "err 2".
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "out 1\nerr 1\nout 2\nerr 2\n")
  (func $print (param $fd i32) (param $at i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (call $print (i32.const 1) (i32.const 100))
    (call $print (i32.const 2) (i32.const 106))
    (call $print (i32.const 1) (i32.const 112))
    (call $print (i32.const 2) (i32.const 118))))
