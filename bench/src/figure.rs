//! What a line of the table shows, and what it should reach.

use std::fmt;

/// A quantity that a run of one server yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Messages, deliveries, requests or connects a second.
    Rate,
    /// Microseconds of the server's processor time for each of them.
    Cpu,
    /// Median latency in microseconds.
    P50,
    /// Latency in microseconds that 99 % stay below.
    P99,
    /// [`Self::P50`] of the raw relay that ran beside the server.
    RelayP50,
    /// [`Self::P99`] of the raw relay that ran beside the server.
    RelayP99,
    /// Median latency as a multiple of the raw relay's.
    OverRelay,
    /// What a disturbance adds to the processor time of a message, in per cent.
    CpuGrowth,
    /// What a disturbance leaves of the rate, in per cent.
    RateKept,
    /// KiB of resident memory for each connection.
    Resident,
    /// Milliseconds until something was done once.
    Time,
    /// Milliseconds of the server's processor time until then.
    CpuOnce,
    /// Microseconds until something was done, for each time it was.
    TimeEach,
    /// MiB of resident memory right after a load.
    Loaded,
    /// MiB of resident memory after a restart.
    Restarted,
    /// Bytes of resident memory for each key right after a load.
    KeyLoaded,
    /// Bytes of resident memory for each key after a restart.
    KeyRestarted,
    /// Syncs of files for each message.
    Syncs,
    /// Median time of a bare write and `fdatasync` that ran beside the server.
    BareP50,
    /// [`Self::P50`] less [`Self::BareP50`].
    AboveBare,
    /// [`Self::P99`] of publishing before something was done beside.
    BeforeP99,
    /// [`Self::P99`] of publishing while something was done beside.
    DuringP99,
    /// [`Self::DuringP99`] as a multiple of [`Self::BeforeP99`].
    OverBefore,
}

/// Which of two values is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// The greater one.
    Higher,
    /// The smaller one.
    Lower,
}

/// What a figure should reach; judged by the median over the pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// This many times better than the reference.
    Ratio(f64),
    /// Ours at most this, whatever the reference does.
    AtMost(f64),
    /// Ours at least this, whatever the reference does.
    AtLeast(f64),
    /// Nothing; shown for the reader.
    Shown,
}

impl Figure {
    /// Name and unit in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rate => "rate, /s",
            Self::Cpu => "CPU, us",
            Self::P50 => "p50, us",
            Self::P99 => "p99, us",
            Self::RelayP50 => "p50 of the raw relay, us",
            Self::RelayP99 => "p99 of the raw relay, us",
            Self::OverRelay => "p50 over the raw relay's",
            Self::CpuGrowth => "CPU growth, %",
            Self::RateKept => "rate kept, %",
            Self::Resident => "resident, KiB",
            Self::Time => "time, ms",
            Self::CpuOnce => "CPU, ms",
            Self::TimeEach => "time each, us",
            Self::Loaded => "resident when loaded, MiB",
            Self::Restarted => "resident after a restart, MiB",
            Self::KeyLoaded => "resident a key when loaded, B",
            Self::KeyRestarted => "resident a key after a restart, B",
            Self::Syncs => "syncs a message",
            Self::BareP50 => "p50 of a bare write and fdatasync, us",
            Self::AboveBare => "p50 above the bare one's, us",
            Self::BeforeP99 => "publish p99 before, us",
            Self::DuringP99 => "publish p99 meanwhile, us",
            Self::OverBefore => "the same over before",
        }
    }

    /// Which direction is good.
    pub(crate) fn better(self) -> Better {
        match self {
            Self::Rate | Self::RateKept => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// Digits behind the point.
    pub(crate) fn decimals(self) -> usize {
        match self {
            Self::Rate => 0,
            Self::Syncs => 4,
            Self::Cpu => 3,
            Self::OverRelay | Self::Resident | Self::OverBefore | Self::Time => 2,
            _ => 1,
        }
    }

    /// How many times better `ours` is; above 1 is in our favour.
    pub(crate) fn ratio(self, ours: f64, reference: f64) -> f64 {
        match self.better() {
            Better::Higher => ours / reference.max(1e-9),
            Better::Lower => reference / ours.max(1e-9),
        }
    }
}

impl Goal {
    /// Whether the comparison is with the reference, or ours stands alone.
    pub(crate) fn is_ratio(self) -> bool {
        matches!(self, Self::Ratio(_) | Self::Shown)
    }

    /// Whether the goal is reached by the median of the ratios or of our own values; `None` if there is no goal.
    pub(crate) fn is_reached(self, median: f64) -> Option<bool> {
        match self {
            Self::Ratio(least) | Self::AtLeast(least) => Some(median >= least),
            Self::AtMost(most) => Some(median <= most),
            Self::Shown => None,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(least) => write!(f, "{least:.1}x"),
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::Shown => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_in_our_favour() {
        fn check(figure: Figure, ours: f64, reference: f64, expected: f64) {
            let ratio = figure.ratio(ours, reference);
            assert!((ratio - expected).abs() < 1e-9, "{figure:?}: {ratio}");
        }
        check(Figure::Rate, 30.0, 10.0, 3.0);
        check(Figure::RateKept, 50.0, 100.0, 0.5);
        check(Figure::Cpu, 10.0, 30.0, 3.0);
        check(Figure::Resident, 2.0, 44.0, 22.0);
    }

    #[test]
    fn goals_are_judged_by_their_kind() {
        fn check(goal: Goal, median: f64, expected: Option<bool>) {
            assert_eq!(goal.is_reached(median), expected, "{goal:?} {median}");
        }
        check(Goal::Ratio(2.5), 2.5, Some(true));
        check(Goal::Ratio(2.5), 2.49, Some(false));
        check(Goal::AtMost(1.3), 1.3, Some(true));
        check(Goal::AtMost(1.3), 1.31, Some(false));
        check(Goal::AtLeast(98.0), 98.5, Some(true));
        check(Goal::AtLeast(98.0), 97.9, Some(false));
        check(Goal::Shown, 0.1, None);
    }

    #[test]
    fn goals_are_shown_as_they_are_meant() {
        fn check(goal: Goal, expected: &str) {
            assert_eq!(goal.to_string(), expected);
        }
        check(Goal::Ratio(4.0), "4.0x");
        check(Goal::AtMost(1.3), "at most 1.3");
        check(Goal::AtLeast(98.0), "at least 98");
        check(Goal::Shown, "");
    }
}
