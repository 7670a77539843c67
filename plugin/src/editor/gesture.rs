//! A param that is set at one go.

use nice_plug::prelude::*;

/// Sets a param, as the whole of a gesture.
pub fn set<P: Param>(setter: &ParamSetter, param: &P, value: P::Plain) {
    setter.begin_set_parameter(param);
    setter.set_parameter(param, value);
    setter.end_set_parameter(param);
}
