#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| miniweb_fuzz::properties::tls::check(input));
