;; A proxy-wasm filter that takes every callback and does as little as it is told to: nothing, or only what no filter
;; that records could leave out. It reads nothing of what it gets, so that the host's own work is all that is left.
(module
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $headers (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $bytes (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $act_for (param i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 64)

  ;; 0: nothing. 1: asks what a rule needs. 2: reads all headers and bodies. 3: posts them as well.
  (global $task i32 (i32.const 0))

  ;; What the host hands out lies one behind the other from here on, nearly up to the memory's end.
  (global $begin i32 (i32.const 65536))
  (global $free (mut i32) (i32.const 65536))
  (global $most i32 (i32.const 4128768))
  (global $root (mut i32) (i32.const 0))

  ;; 0 to 15: where the host writes addresses and sizes. From 32768 on: how much of a body has been read.
  (data (i32.const 16) "xds\00route_metadata")
  (data (i32.const 48) ":path")
  (data (i32.const 64) "dossier_collector")
  ;; Three headers: their number, the lengths of each name and value, and these.
  (data (i32.const 96) "\03\00\00\00\07\00\00\00\04\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\09\00\00\00"
    ":method\00POST\00:path\00/\00:authority\00collector\00")

  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (if (i32.gt_u (i32.add (global.get $free) (local.get $size)) (global.get $most))
      (then (global.set $free (global.get $begin))))
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $at))

  ;; Where it is counted how much of a request's body has been read; of the response's four bytes further.
  (func $count (param $context i32) (result i32)
    (i32.add (i32.const 32768) (i32.shl (i32.and (local.get $context) (i32.const 4095)) (i32.const 3))))

  ;; Reads on, up to the 64 KiB that are recorded.
  (func $read (param $buffer i32) (param $size i32) (param $count i32)
    (local $room i32)
    (if (i32.lt_u (global.get $task) (i32.const 2)) (then (return)))
    (local.set $room (i32.sub (i32.const 65536) (i32.load (local.get $count))))
    (if (i32.gt_u (local.get $size) (local.get $room)) (then (local.set $size (local.get $room))))
    (if (i32.eqz (local.get $size)) (then (return)))
    (drop (call $bytes (local.get $buffer) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
    (i32.store (local.get $count) (i32.add (i32.load (local.get $count)) (local.get $size))))

  ;; Posts all that was read as it lies there, once it is a MiB.
  (func $post
    (if (i32.lt_u (i32.sub (global.get $free) (global.get $begin)) (i32.const 1048576)) (then (return)))
    (drop (call $act_for (global.get $root)))
    (drop (call $call
      (i32.const 64) (i32.const 17) (i32.const 96) (i32.const 70)
      (global.get $begin) (i32.sub (global.get $free) (global.get $begin))
      (i32.const 0) (i32.const 0) (i32.const 10000) (i32.const 8)))
    (global.set $free (global.get $begin)))

  (func (export "_initialize"))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_context_create") (param $context i32) (param $parent i32)
    (i64.store (call $count (local.get $context)) (i64.const 0)))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param $context i32) (param i32) (result i32)
    (global.set $root (local.get $context))
    (i32.const 1))
  (func (export "proxy_on_tick") (param i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (i32.ge_u (global.get $task) (i32.const 1))
      (then
        (drop (call $property (i32.const 16) (i32.const 18) (i32.const 0) (i32.const 4)))
        (drop (call $header (i32.const 0) (i32.const 48) (i32.const 5) (i32.const 0) (i32.const 4)))))
    (if (i32.ge_u (global.get $task) (i32.const 2))
      (then (drop (call $headers (i32.const 0) (i32.const 0) (i32.const 4)))))
    (i32.const 0))
  (func (export "proxy_on_request_body") (param $context i32) (param $size i32) (param i32) (result i32)
    (call $read (i32.const 0) (local.get $size) (call $count (local.get $context)))
    (i32.const 0))
  (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (if (i32.ge_u (global.get $task) (i32.const 2))
      (then (drop (call $headers (i32.const 2) (i32.const 0) (i32.const 4)))))
    (i32.const 0))
  (func (export "proxy_on_response_body") (param $context i32) (param $size i32) (param i32) (result i32)
    (call $read (i32.const 1) (local.get $size) (i32.add (call $count (local.get $context)) (i32.const 4)))
    (i32.const 0))
  (func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_log") (param i32)
    (if (i32.eq (global.get $task) (i32.const 3)) (then (call $post))))
  (func (export "proxy_on_delete") (param i32)))
