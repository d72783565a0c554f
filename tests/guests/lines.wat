;; Writes "one", "two" and "three" to stdout, each line by itself.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "one\ntwo\nthree\n")
  (func $print (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (call $print (i32.const 100) (i32.const 4))
    (call $print (i32.const 104) (i32.const 4))
    (call $print (i32.const 108) (i32.const 6))))
