;; Needs a function that no host has.
(module
  (import "env" "no_such_function" (func $no_such_function))
  (memory (export "memory") 1)
  (func (export "_start") (call $no_such_function)))
