//! Controls that are held: gestures that have begun and not ended yet. A host leaves what is held alone, so each is to end, though the hand never lets
//! go of it where the control goes or the window closes. In the latter case it ends with the first picture of the next window: while one closes the
//! host waits for it, and is not to be called.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egui::{Context, Id};
use nice_plug::params::internals::ParamPtr;
use nice_plug::prelude::*;

/// Parameter gestures in progress in one editor, whose windows come and go.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<Vec<Hold>>>);

struct Hold {
    param: ParamPtr,
    /// Number of the picture in which the control was last drawn; none where that was in another window.
    seen: Option<u64>,
}

impl Held {
    /// The window of `context` is the editor's from now on. What is held was held in the one before, and is drawn nowhere.
    pub fn open(&self, context: &Context) {
        self.holds().iter_mut().for_each(|hold| hold.seen = None);
        context.data_mut(|data| data.insert_temp(Id::unique("held"), self.clone()));
    }

    fn of(context: &Context) -> Self {
        context.data_mut(|data| data.get_temp_mut_or_default::<Self>(Id::unique("held")).clone())
    }

    fn holds(&self) -> MutexGuard<'_, Vec<Hold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what is no longer held by `is_held`, and ends it.
    fn end_unless(&self, setter: &ParamSetter, is_held: impl Fn(&Hold) -> bool) {
        let ended: Vec<Hold> = self.holds().extract_if(.., |hold| !is_held(hold)).collect();
        for Hold { param, .. } in ended {
            // SAFETY: whoever stands for the host looks for the param among those that it knows.
            unsafe { setter.raw_context.raw_end_set_parameter(param) };
        }
    }
}

/// The control of `param` is held from now on.
pub fn begin<P: Param>(context: &Context, setter: &ParamSetter, param: &P) {
    let (held, pointer) = (Held::of(context), param.as_ptr());
    if held.holds().iter().all(|hold| hold.param != pointer) {
        held.holds().push(Hold { param: pointer, seen: Some(context.cumulative_pass_nr()) });
        setter.begin_set_parameter(param);
    }
}

/// Whether the control of `param`, which is drawn, is held still.
pub fn is_held<P: Param>(context: &Context, param: &P) -> bool {
    let (window, now) = (Held::of(context), context.cumulative_pass_nr());
    let mut holds = window.holds();
    let hold = holds.iter_mut().find(|hold| hold.param == param.as_ptr() && hold.seen.is_some());
    hold.map(|hold| hold.seen = Some(now)).is_some()
}

/// The hand lets go of it.
pub fn end<P: Param>(context: &Context, setter: &ParamSetter, param: &P) {
    Held::of(context).end_unless(setter, |hold| hold.param != param.as_ptr());
}

/// At the end of a picture: of what is no longer drawn the hand has let go.
pub fn end_unseen(context: &Context, setter: &ParamSetter) {
    let now = context.cumulative_pass_nr();
    Held::of(context).end_unless(setter, |hold| hold.seen >= Some(now));
}
