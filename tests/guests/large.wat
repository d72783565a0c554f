;; Writes 1 MiB to stdout: 65536 times "0123456789abcde\n", 4 KiB at a time.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 4096) "0123456789abcde\n")
  (func (export "_start") (local $n i32)
    ;; Copying forwards over itself repeats the first 16 bytes.
    (loop $fill
      (i64.store (i32.add (i32.const 4112) (local.get $n))
        (i64.load (i32.add (i32.const 4096) (local.get $n))))
      (local.set $n (i32.add (local.get $n) (i32.const 8)))
      (br_if $fill (i32.lt_u (local.get $n) (i32.const 4080))))
    (local.set $n (i32.const 0))
    (loop $write
      (i32.store (i32.const 0) (i32.const 4096))
      (i32.store (i32.const 4) (i32.const 4096))
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $write (i32.lt_u (local.get $n) (i32.const 256))))))
