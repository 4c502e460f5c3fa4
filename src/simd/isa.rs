//! Which instruction set runs: detection, choice by name, dispatch.

use super::{Portable, SimdOp};
use std::fmt;

/// An instruction set that this CPU has.
///
/// There is no other way to make one than to find that the CPU supports it, so a value is a proof.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Isa(pub(crate) Set);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

/// A choice of instruction set that cannot be honoured.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsaError {
    /// The name is none of those known.
    #[error("unknown instruction set '{0}' (known: auto, avx512, avx2, neon, portable)")]
    Unknown(String),
    /// The CPU lacks it.
    #[error("this CPU does not have {0} (it has: {1})")]
    Unavailable(String, String),
}

impl Isa {
    /// Those that this CPU has, fastest first; `portable` is always the last.
    pub fn available() -> Vec<Isa> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let features = Features::detect();
            if features.suffice_for_avx512() {
                all.push(Isa(Set::Avx512));
            }
            if features.suffice_for_avx2() {
                all.push(Isa(Set::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            all.push(Isa(Set::Neon));
        }
        all.push(Isa(Set::Portable));
        all
    }

    /// The fastest one that this CPU has.
    pub fn best() -> Isa {
        Self::available()[0]
    }

    /// The one called `name`: `avx512`, `avx2`, `neon`, `portable`, or `auto` for the fastest.
    ///
    /// # Errors
    /// If the name is unknown or this CPU lacks the set.
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        if name == "auto" {
            return Ok(Self::best());
        }
        if !["avx512", "avx2", "neon", "portable"].contains(&name) {
            return Err(IsaError::Unknown(name.to_owned()));
        }
        let available = Self::available();
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| {
            let has: Vec<_> = available.iter().map(|isa| isa.name()).collect();
            IsaError::Unavailable(name.to_owned(), has.join(", "))
        })
    }

    /// Its name, as [`Isa::named`] takes it.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
            Set::Portable => "portable",
        }
    }

    /// Whether it keeps the promise of equal bits: every set but `portable`, which has no fused
    /// multiply-add.
    pub fn is_exact(self) -> bool {
        self.0 != Set::Portable
    }

    /// Runs `op` compiled for this instruction set.
    #[inline]
    pub fn dispatch<O: SimdOp>(self, op: O) -> O::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` with this set exists only if the CPU has it.
            Set::Avx512 => unsafe { super::avx512::eval(op) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { super::avx2::eval(op) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Set::Neon => unsafe { super::neon::eval(op) },
            Set::Portable => op.eval(Portable),
        }
    }
}

/// The features that code is compiled for. A virtual machine may hide any of them, so each set asks for
/// all that its code names.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Features {
    avx2: bool,
    fma: bool,
    avx512f: bool,
    avx512vl: bool,
}

#[cfg(target_arch = "x86_64")]
impl Features {
    fn detect() -> Self {
        Self {
            avx2: is_x86_feature_detected!("avx2"),
            fma: is_x86_feature_detected!("fma"),
            avx512f: is_x86_feature_detected!("avx512f"),
            avx512vl: is_x86_feature_detected!("avx512vl"),
        }
    }

    /// What `avx2::eval` is compiled for.
    fn suffice_for_avx2(self) -> bool {
        self.avx2 && self.fma
    }

    /// What `avx512::eval` is compiled for.
    fn suffice_for_avx512(self) -> bool {
        self.avx512f && self.avx512vl && self.suffice_for_avx2()
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Isa({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_set_needs_every_feature_that_its_code_names() {
        let all = Features { avx2: true, fma: true, avx512f: true, avx512vl: true };
        assert!(all.suffice_for_avx512() && all.suffice_for_avx2());
        let older = Features { avx512f: false, avx512vl: false, ..all };
        assert!(!older.suffice_for_avx512() && older.suffice_for_avx2());
        for lacking in [Features { avx2: false, ..all }, Features { fma: false, ..all }] {
            assert!(!lacking.suffice_for_avx512() && !lacking.suffice_for_avx2());
        }
        for lacking in [Features { avx512f: false, ..all }, Features { avx512vl: false, ..all }] {
            assert!(!lacking.suffice_for_avx512());
        }
    }

    #[test]
    fn names_round_trip_and_wrong_ones_are_refused() {
        for isa in Isa::available() {
            assert_eq!(Isa::named(isa.name()), Ok(isa));
        }
        assert_eq!(Isa::named("auto"), Ok(Isa::best()));
        assert!(matches!(Isa::named("mmx"), Err(IsaError::Unknown(_))));
        let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
        assert!(matches!(Isa::named(foreign), Err(IsaError::Unavailable(..))));
    }
}
