; Is there a byte between 8 and 250 whose square is 49, modulo 256?
(set-logic QF_BV)
(declare-const x (_ BitVec 8))
(assert (= (bvmul x x) #x31))
(assert (bvugt x #x08))
(assert (bvult x #xf8))
(check-sat)
