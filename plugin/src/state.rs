//! What is saved in sessions, and how what was saved is made fit to load.
//!
//! The wrapper saves the params by id and the fields marked `#[persist]`, as JSON, and refuses what is no such JSON. Before it
//! applies a state it calls [`make_loadable`]. That matters, because it applies values as they stand: a gain of 10³⁸ or the
//! seventh of two choices would go through.

use nice_plug::params::internals::ParamPtr;
use nice_plug::plugin::ParamValue;
use nice_plug::prelude::*;
use underscore_engine::NUM_SLOTS;

use crate::choices::FREE;
use crate::model::Model;
use crate::params::UnderscoreParams;
use crate::query::SavedExample;
use crate::state_notices::STATE_VERSION;

/// The state field that holds the version.
const VERSION_FIELD: &str = "state_version";

/// The state field that says which model was asked for and is not there. Written by [`make_loadable`], never saved.
const MISSING_MODEL_FIELD: &str = "missing_model";

/// The state fields that hold the examples of slots A and B.
const QUERY_FIELDS: [&str; NUM_SLOTS] = ["query", "query_b"];

/// Makes any state fit to be applied: every param has a value, of its own type and in its range. What is missing, unknown to
/// this version or out of its mind gets the default, so that loading never depends on what was set before.
pub fn make_loadable(state: &mut PluginState) {
    // Version 1 is the first. A state without one, or with one that is no number, is read as version 1.
    let version = state.fields.get(VERSION_FIELD).and_then(|json| json.parse::<u32>().ok()).unwrap_or(1);
    state.fields.insert(VERSION_FIELD.into(), version.to_string());

    let missing_model = match state.params.get("model") {
        Some(ParamValue::String(id)) if Model::of(id).is_none() => id.clone(),
        _ => String::new(),
    };
    if !missing_model.is_empty() {
        // On air it is to stay on air, and the buses of a model that is asked are others than those of one that is not.
        let in_its_place = Model::in_place_of(&missing_model).id().to_owned();
        state.params.insert("model".into(), ParamValue::String(in_its_place));
    }
    state.fields.insert(MISSING_MODEL_FIELD.into(), serde_json::Value::from(missing_model).to_string());

    // One that cannot be read, or none, is no example.
    for field in QUERY_FIELDS {
        let query = state.fields.get(field).and_then(|json| serde_json::from_str::<SavedExample>(json).ok());
        let query = serde_json::to_string(&query.unwrap_or_default()).unwrap_or_else(|_| "{}".into());
        state.fields.insert(field.into(), query);
    }

    let defaults = UnderscoreParams::default();
    let mut is_newer = false;
    for (id, param, _) in defaults.param_map() {
        let saved = state.params.remove(&id);
        // What a model is called that is gone is told apart.
        if let (ParamPtr::EnumParam(param), Some(ParamValue::String(choice)), true) = (param, &saved, id != "model") {
            // A place that was free has got a name since: that is an older session. SAFETY: as below.
            is_newer |= !choice.starts_with(FREE) && !unsafe { (*param).set_from_id(choice) };
        }
        // SAFETY: the pointers of the map point into `defaults`, which lives to the end of this function.
        let value = unsafe { loadable_value(param, saved) };
        state.params.insert(id, value);
    }
    if is_newer {
        // Versions count changes of meaning; a choice that nobody here knows, a class of sounds, say, is a newer one's, too.
        state.fields.insert(VERSION_FIELD.into(), version.max(STATE_VERSION + 1).to_string());
    }
}

/// `saved` where it is a value of `param`, else its default.
///
/// # Safety
/// `param` must point to a live param.
unsafe fn loadable_value(param: ParamPtr, saved: Option<ParamValue>) -> ParamValue {
    match (param, saved) {
        (ParamPtr::FloatParam(param), saved) => {
            // SAFETY: by this function's contract.
            let param = unsafe { &*param };
            let (min, max) = (param.preview_plain(0.0), param.preview_plain(1.0));
            match saved {
                Some(ParamValue::F32(value)) if value.is_finite() => ParamValue::F32(value.clamp(min, max)),
                _ => ParamValue::F32(param.default_plain_value()),
            }
        }
        (ParamPtr::IntParam(param), saved) => {
            // SAFETY: by this function's contract.
            let param = unsafe { &*param };
            let (min, max) = (param.preview_plain(0.0), param.preview_plain(1.0));
            match saved {
                Some(ParamValue::I32(value)) => ParamValue::I32(value.clamp(min, max)),
                _ => ParamValue::I32(param.default_plain_value()),
            }
        }
        (ParamPtr::BoolParam(_), Some(ParamValue::Bool(value))) => ParamValue::Bool(value),
        (ParamPtr::BoolParam(param), _) => {
            // SAFETY: by this function's contract.
            ParamValue::Bool(unsafe { (*param).default_plain_value() })
        }
        (ParamPtr::EnumParam(param), saved) => {
            // SAFETY: by this function's contract.
            let param = unsafe { &*param };
            // A param of its own, fresh from its default: whether an id is known is seen by setting it.
            match saved {
                Some(ParamValue::String(id)) if param.set_from_id(&id) => ParamValue::String(id),
                _ => param.unmodulated_plain_id().map_or(ParamValue::I32(param.default_plain_value()), |default_id| {
                    ParamValue::String(default_id.to_owned())
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::name_of;
    use crate::state_notices::StateVersion;
    use nice_plug::params::persist::PersistentField;
    use std::collections::BTreeMap;

    fn state(version: &str, params: &[(&str, ParamValue)]) -> PluginState {
        PluginState {
            version: "0.1.0".into(),
            params: params.iter().map(|(id, value)| ((*id).to_owned(), value.clone())).collect(),
            fields: BTreeMap::from([(VERSION_FIELD.to_owned(), version.to_owned())]),
        }
    }

    fn load(mut state: PluginState) -> (BTreeMap<String, ParamValue>, UnderscoreParams) {
        make_loadable(&mut state);
        let params = UnderscoreParams::default();
        params.deserialize_fields(&state.fields);
        (state.params, params)
    }

    fn f32_of(params: &BTreeMap<String, ParamValue>, id: &str) -> f32 {
        match params.get(id) {
            Some(ParamValue::F32(value)) => *value,
            other => panic!("{id}: {other:?}"),
        }
    }

    #[test]
    fn a_full_state_comes_through_unchanged() {
        let (params, loaded) = load(state(
            "1",
            &[
                ("music_gain", ParamValue::F32(0.25)),
                ("dialogue_mute", ParamValue::Bool(true)),
                ("model", ParamValue::String("identity".into())),
                ("strength", ParamValue::F32(1.5)),
            ],
        ));
        assert_eq!(f32_of(&params, "music_gain"), 0.25);
        assert_eq!(f32_of(&params, "strength"), 1.5);
        assert!(matches!(params["dialogue_mute"], ParamValue::Bool(true)));
        assert!(matches!(&params["model"], ParamValue::String(id) if id == "identity"));
        assert_eq!(loaded.state_version.notice(), None);
    }

    #[test]
    fn what_is_missing_gets_its_default_and_every_param_is_there() {
        let (params, _) = load(state("1", &[]));
        assert_eq!(params.len(), UnderscoreParams::default().param_map().len());
        assert_eq!(f32_of(&params, "dry_wet"), 1.0);
        assert!(matches!(params["stereo_link"], ParamValue::Bool(true)));
    }

    #[test]
    fn values_that_are_out_of_range_or_of_the_wrong_type_do_no_harm() {
        let (params, _) = load(state(
            "1",
            &[
                ("music_gain", ParamValue::F32(1e38)),
                ("dialogue_gain", ParamValue::F32(f32::NAN)),
                ("strength", ParamValue::F32(-4.0)),
                ("model", ParamValue::String("music-99".into())),
                ("device", ParamValue::I32(77)),
                ("bypass", ParamValue::F32(1.0)),
            ],
        ));
        assert!((f32_of(&params, "music_gain") - 3.981_07).abs() < 1e-4);
        assert_eq!(f32_of(&params, "dialogue_gain"), 1.0);
        assert_eq!(f32_of(&params, "strength"), 0.0);
        assert!(matches!(&params["model"], ParamValue::String(id) if id == Model::default().id()));
        assert!(matches!(&params["device"], ParamValue::String(id) if id == "auto"));
        assert!(matches!(params["bypass"], ParamValue::Bool(false)));
    }

    #[test]
    fn a_session_with_a_model_that_is_no_more_opens_with_the_one_in_its_place_and_all_the_rest() {
        // Ids of no catalogue, and what is no id.
        for (saved, told, expected) in [
            (ParamValue::String("music-0".into()), Some("music-0"), Model::default()),
            (ParamValue::String("live-0".into()), Some("live-0"), Model::in_place_of("live-0")),
            (ParamValue::I32(1), None, Model::default()),
        ] {
            let (mut params, loaded) = load(state(
                "1",
                &[
                    ("model", saved),
                    ("music_gain", ParamValue::F32(0.25)),
                    ("dialogue_solo", ParamValue::Bool(true)),
                    ("strength", ParamValue::F32(1.5)),
                    ("stereo_link", ParamValue::Bool(false)),
                    ("device", ParamValue::String("cpu".into())),
                ],
            ));
            assert!(matches!(params.remove("model"), Some(ParamValue::String(id)) if id == expected.id()));
            assert_eq!((f32_of(&params, "music_gain"), f32_of(&params, "strength")), (0.25, 1.5));
            assert!(matches!(params["dialogue_solo"], ParamValue::Bool(true)));
            assert!(matches!(params["stereo_link"], ParamValue::Bool(false)));
            assert!(matches!(&params["device"], ParamValue::String(id) if id == "cpu"));
            assert_eq!(loaded.state_version.notice(), None);
            let notice = loaded.missing_model.notice(expected);
            assert_eq!(notice.is_some(), told.is_some());
            let says =
                |notice: String, id: &str| notice.contains(&name_of(id)) && notice.contains(&name_of(expected.id()));
            assert!(notice.is_none_or(|notice| told.is_some_and(|id| says(notice, id))));
            let identity = Model::of("identity").expect("a model");
            assert_eq!(loaded.missing_model.notice(identity), None, "another one was chosen meanwhile");
            let saved = loaded.serialize_fields();
            assert_eq!(saved[MISSING_MODEL_FIELD], "\"\"", "it is not missing any more when the session is saved");
        }
    }

    #[test]
    fn a_model_that_is_there_is_not_missing_whatever_the_state_says() {
        let mut with_model = state("1", &[("model", ParamValue::String("identity".into()))]);
        with_model.fields.insert(MISSING_MODEL_FIELD.into(), "\"music-0\"".into());
        for state in [with_model, state("1", &[])] {
            let (_, loaded) = load(state);
            assert_eq!(loaded.missing_model.notice(Model::default()), None);
        }
    }

    #[test]
    fn a_state_from_the_future_is_taken_as_far_as_known_and_said_to_be_one() {
        let (params, loaded) =
            load(state("7", &[("music_gain", ParamValue::F32(0.5)), ("reverb", ParamValue::F32(0.5))]));
        assert_eq!(f32_of(&params, "music_gain"), 0.5);
        let notice = loaded.state_version.notice().expect("a notice");
        assert!(notice.contains("state 7") && notice.contains("Update"), "{notice}");
        let saved = loaded.serialize_fields();
        assert_eq!(saved[VERSION_FIELD], STATE_VERSION.to_string(), "what is saved is this version's");
    }

    #[test]
    fn a_version_that_is_no_number_is_read_as_the_first() {
        let (_, loaded) = load(state("\"newest\"", &[]));
        assert_eq!(loaded.state_version.notice(), None);
    }

    #[test]
    fn a_class_of_tomorrow_is_told_as_one_and_what_is_known_is_not() {
        let loaded = |preset: &str| {
            let mut state = state("1", &[("query_preset", ParamValue::String(preset.into()))]);
            make_loadable(&mut state);
            let version = StateVersion::default();
            version.set(state.fields[VERSION_FIELD].parse().expect("a number"));
            version.notice()
        };
        assert!(loaded("theremin").is_some_and(|notice| notice.contains("newer Underscore")));
        assert_eq!(loaded("drums"), None);
        assert_eq!(loaded("free-3"), None, "an older one, from before this place was taken");
    }
}
