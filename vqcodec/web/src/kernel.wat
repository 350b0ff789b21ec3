;; Products of bytes, exactly: rows of inputs with rows of a matrix.
(module
  (memory (export "memory") 1)

  ;; Both have rows of `stride` bytes, a multiple of 16, and the matrix a multiple of 4 rows. Writes (n, rows) i32 to `out`.
  (func (export "multiply")
    (param $inputs i32) (param $n i32) (param $matrix i32) (param $rows i32) (param $stride i32) (param $out i32)
    (local $row i32) (local $end i32) (local $at i32) (local $input i32)
    (local $low v128) (local $high v128) (local $other v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $first i32) (local $second i32) (local $third i32) (local $fourth i32)
    (local.set $end (i32.add (local.get $inputs) (i32.mul (local.get $n) (local.get $stride))))
    (loop $each_input
      (if (i32.ge_u (local.get $inputs) (local.get $end)) (then (return)))
      (local.set $row (i32.const 0))
      (local.set $first (local.get $matrix))
      (loop $each_four
        (local.set $second (i32.add (local.get $first) (local.get $stride)))
        (local.set $third (i32.add (local.get $second) (local.get $stride)))
        (local.set $fourth (i32.add (local.get $third) (local.get $stride)))
        (local.set $a (v128.const i32x4 0 0 0 0))
        (local.set $b (v128.const i32x4 0 0 0 0))
        (local.set $c (v128.const i32x4 0 0 0 0))
        (local.set $d (v128.const i32x4 0 0 0 0))
        (local.set $at (i32.const 0))
        (loop $along
          (local.set $other (v128.load (i32.add (local.get $inputs) (local.get $at))))
          (local.set $low (i16x8.extend_low_i8x16_s (local.get $other)))
          (local.set $high (i16x8.extend_high_i8x16_s (local.get $other)))

          (local.set $other (v128.load (i32.add (local.get $first) (local.get $at))))
          (local.set $a (i32x4.add (local.get $a) (i32x4.add
            (i32x4.dot_i16x8_s (local.get $low) (i16x8.extend_low_i8x16_s (local.get $other)))
            (i32x4.dot_i16x8_s (local.get $high) (i16x8.extend_high_i8x16_s (local.get $other))))))
          (local.set $other (v128.load (i32.add (local.get $second) (local.get $at))))
          (local.set $b (i32x4.add (local.get $b) (i32x4.add
            (i32x4.dot_i16x8_s (local.get $low) (i16x8.extend_low_i8x16_s (local.get $other)))
            (i32x4.dot_i16x8_s (local.get $high) (i16x8.extend_high_i8x16_s (local.get $other))))))
          (local.set $other (v128.load (i32.add (local.get $third) (local.get $at))))
          (local.set $c (i32x4.add (local.get $c) (i32x4.add
            (i32x4.dot_i16x8_s (local.get $low) (i16x8.extend_low_i8x16_s (local.get $other)))
            (i32x4.dot_i16x8_s (local.get $high) (i16x8.extend_high_i8x16_s (local.get $other))))))
          (local.set $other (v128.load (i32.add (local.get $fourth) (local.get $at))))
          (local.set $d (i32x4.add (local.get $d) (i32x4.add
            (i32x4.dot_i16x8_s (local.get $low) (i16x8.extend_low_i8x16_s (local.get $other)))
            (i32x4.dot_i16x8_s (local.get $high) (i16x8.extend_high_i8x16_s (local.get $other))))))

          (local.set $at (i32.add (local.get $at) (i32.const 16)))
          (br_if $along (i32.lt_u (local.get $at) (local.get $stride))))
        (i32.store (local.get $out) (call $sum (local.get $a)))
        (i32.store offset=4 (local.get $out) (call $sum (local.get $b)))
        (i32.store offset=8 (local.get $out) (call $sum (local.get $c)))
        (i32.store offset=12 (local.get $out) (call $sum (local.get $d)))
        (local.set $out (i32.add (local.get $out) (i32.const 16)))
        (local.set $first (i32.add (local.get $fourth) (local.get $stride)))
        (local.set $row (i32.add (local.get $row) (i32.const 4)))
        (br_if $each_four (i32.lt_u (local.get $row) (local.get $rows))))
      (local.set $inputs (i32.add (local.get $inputs) (local.get $stride)))
      (br $each_input)))

  (func $sum (param $x v128) (result i32)
    (i32.add
      (i32.add (i32x4.extract_lane 0 (local.get $x)) (i32x4.extract_lane 1 (local.get $x)))
      (i32.add (i32x4.extract_lane 2 (local.get $x)) (i32x4.extract_lane 3 (local.get $x))))))
