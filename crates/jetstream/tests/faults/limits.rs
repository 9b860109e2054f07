//! What no record can hold is refused, and nothing panics over it.

use crate::rig::Rig;
use crate::seams::error_of;

const SUBJECT_MAX: usize = 65_535;

#[test]
fn a_subject_too_long_for_a_record_is_refused() {
    let mut rig = Rig::with_stream();
    let longest = format!("s.{}", "x".repeat(SUBJECT_MAX - 2));
    assert_eq!(rig.store(&longest, "fits"), 1);
    for more in [1, 2, 4_000, 70_000] {
        let refused = rig.ask(&format!("{longest}{}", "y".repeat(more)), "does not fit");
        assert_eq!(error_of(&refused), Some(10_077), "{more}: {refused}");
    }
    assert_eq!(rig.store("s.x", "goes on"), 2);
    let mut rig = rig.killed();
    assert_eq!(rig.subject_of(1), Ok(longest));
    assert_eq!(rig.subject_of(2).as_deref(), Ok("s.x"));
}
