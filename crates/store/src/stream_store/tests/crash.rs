//! Power cuts at every operation between take and manifest. The harness plays the manifest (what was saved last) and the
//! journal (the steps since then), which may lose its end as it does when it is synced lazily.

use std::sync::Arc;

use everjet_values::{Entropy, EntryIndex, SeededEntropy};

use super::super::{Compacted, StreamStore};
use super::model::Model;
use super::{Form, Step, below, disk, remove_indexes, save};
use crate::sim_disk::{SimDisk, SimFault};
use crate::{Disk, SavedSegments};

struct World {
    form: Form,
    disk: SimDisk,
    /// What the store sees of it.
    through: Arc<dyn Disk>,
    store: StreamStore,
    model: Model,
    entry: u64,
    /// The manifest, and the model as it was then.
    durable: (SavedSegments, Model, u64),
    /// The steps since.
    journal: Vec<Step>,
    /// A rewriting that is done and not put in place yet.
    compacted: Option<Compacted>,
    rewritten: u32,
}

impl World {
    fn step(&mut self, dice: &SeededEntropy) {
        let step = Step::random(dice, &self.model);
        self.entry += 1;
        step.apply(EntryIndex(self.entry), &mut self.store);
        self.model.apply(&step);
        self.journal.push(step);
    }

    /// Begins to rewrite segments, or puts what was rewritten in place.
    fn compact(&mut self) {
        match self.compacted.take() {
            Some(done) => {
                self.rewritten += u32::from(self.store.finish_compaction(done));
            }
            None => {
                // The second look is one at a store that stands still.
                let taken = self.store.take_compaction();
                let taken = taken.or_else(|| self.store.take_compaction());
                let done = taken.and_then(|taken| taken.rewrite(&mut |_| true).ok());
                self.compacted = done;
            }
        }
    }

    /// A checkpoint; false when the power went before the manifest was written.
    fn checkpoint(&mut self) -> bool {
        let Ok(mut saved) = save(&mut self.store, &*self.through) else {
            return false;
        };
        // The driver's checkpoint is at the stream's entry, which consumers move on as well.
        saved.entry = EntryIndex(self.entry);
        if self.disk.is_cut() {
            return false;
        }
        let obsolete = self.store.obsolete_files(&saved);
        self.durable = (saved, self.model.clone(), self.entry);
        self.journal.clear();
        if obsolete.delete(&self.disk).is_err() {
            return false;
        }
        self.store.finish_obsolete(&obsolete);
        true
    }

    /// Starts again on what the power cut left.
    fn recover(&mut self, dice: &SeededEntropy, context: &str) {
        self.compacted = None;
        self.disk = self.disk.crash(below(dice, 1 << 40));
        if below(dice, 3) == 0 {
            remove_indexes(&self.disk);
        }
        let (saved, model, entry) = self.durable.clone();
        self.through = self.form.disk(&self.disk, dice.next_u64());
        let (store, report) = self.form.open(Arc::clone(&self.through), &saved);
        assert_eq!(report.damaged, [], "{context}");
        (self.store, self.model, self.entry) = (store, model, entry);
        self.model
            .check(&self.store, &format!("{context}, recovered"));
        // The journal brings back the steps whose sync returned; here: some.
        let kept = below(dice, self.journal.len() as u64 + 1) as usize;
        for step in std::mem::take(&mut self.journal).into_iter().take(kept) {
            self.entry += 1;
            step.apply(EntryIndex(self.entry), &mut self.store);
            self.model.apply(&step);
            self.journal.push(step);
        }
        self.model
            .check(&self.store, &format!("{context}, replayed"));
    }
}

#[test]
fn every_power_cut_leaves_the_state_of_the_manifest() {
    for form in Form::ALL {
        cut_a_lot(form);
    }
}

fn cut_a_lot(form: Form) {
    let (mut cuts, mut rewritten) = (0_u64, 0_u64);
    let seeds = if form == Form::Plain { 60 } else { 25 };
    for seed in 0..seeds {
        let dice = SeededEntropy::new(seed);
        let disk = disk();
        let through = form.disk(&disk, seed);
        let mut world = World {
            form,
            store: form.open(Arc::clone(&through), &SavedSegments::default()).0,
            disk,
            through,
            model: Model::new(false),
            entry: 0,
            durable: (SavedSegments::default(), Model::new(false), 0),
            journal: Vec::new(),
            compacted: None,
            rewritten: 0,
        };
        for round in 0..24 {
            for _ in 0..below(&dice, 60) {
                world.step(&dice);
            }
            let context = format!("{form:?} seed {seed} round {round}");
            if below(&dice, 2) == 0 {
                let operation = world.disk.operations() + 1 + below(&dice, 14);
                world.disk.fail_at(operation, SimFault::Cut);
            }
            for _ in 0..below(&dice, 4) {
                world.compact();
            }
            let is_saved = !world.disk.is_cut() && world.checkpoint();
            if !is_saved || world.disk.is_cut() || below(&dice, 6) == 0 {
                cuts += u64::from(world.disk.is_cut());
                world.recover(&dice, &context);
            }
        }
        world
            .model
            .check(&world.store, &format!("{form:?} seed {seed} at the end"));
        rewritten += u64::from(world.rewritten);
    }
    assert!(cuts > 3 * seeds, "only {cuts} cuts hit a checkpoint");
    assert!(
        rewritten * 3 > 2 * seeds,
        "only {rewritten} segments rewritten"
    );
}
