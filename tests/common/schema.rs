//! JSON against a JSON Schema, by the keywords that ours use; any other is a mistake of the schema.

use serde_json::Value;

/// What is wrong with `value`, if anything.
pub(crate) fn violation(schema: &Value, value: &Value) -> Option<String> {
    let rules = schema.as_object().expect("a schema is an object");
    rules.iter().find_map(|(keyword, rule)| {
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" => true,
            "oneOf" => {
                let schemas = rule.as_array().unwrap().iter();
                schemas.filter(|schema| violation(schema, value).is_none()).count() == 1
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| has_type(name, value)),
                name => has_type(name, value),
            },
            "minimum" => value.as_f64() >= rule.as_f64(),
            "maximum" => value.as_f64() <= rule.as_f64(),
            "minItems" => value.as_array().map(Vec::len) >= rule.as_u64().map(|n| n as usize),
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|key| value.get(key.as_str().unwrap()).is_some()),
            "additionalProperties" => {
                assert_eq!(rule, false);
                value.as_object()?.keys().all(|key| schema["properties"].get(key).is_some())
            }
            "properties" => {
                let inner = |(key, schema)| violation(schema, value.get(key)?);
                return rule.as_object().unwrap().iter().find_map(inner);
            }
            "items" => return value.as_array()?.iter().find_map(|item| violation(rule, item)),
            _ => panic!("keyword {keyword} is not known here"),
        };
        (!holds).then(|| format!("{keyword} {rule} does not hold for {value}"))
    })
}

fn has_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        name => panic!("type {name} is not known here"),
    }
}
