#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| everjet_fuzz_checks::check_segment_file(data));
