//! `resnet-data` as a user sees it: what is packed, how it goes on after a kill, what is found to be wrong.

#[allow(dead_code, reason = "this test uses a part of it")]
#[path = "../../../tests/common/jpeg.rs"]
mod jpeg;

mod damage;
mod folders;
mod imagenet;
mod python;
#[cfg(unix)]
mod resume;
mod support;
