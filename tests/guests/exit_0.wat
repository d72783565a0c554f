;; Ends at once with 0.
(module
  (memory (export "memory") 1)
  (func (export "_start")))
