#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| resnet_cpu_fuzz::targets::dataset::run(bytes));
