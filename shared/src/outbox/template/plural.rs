//! The function `plural` of templates.

use icu_locale_core::Locale;
use icu_plurals::{PluralCategory, PluralRules};
use minijinja::{Error, ErrorKind, value::Kwargs};

/// The numbers among which each form of a language has an example.
const SAMPLES: std::ops::RangeInclusive<u32> = 0..=200;

/// Returns the form of a text for a number, by the rules of a language (CLDR). `#` stands for the number. Each form that the
/// language has is required, so that a missing one is an error at the check and not at the first mail with such a number.
#[expect(clippy::needless_pass_by_value, reason = "minijinja passes values")]
pub(super) fn plural(language: &str, number: u32, forms: Kwargs) -> Result<String, Error> {
    let rules = rules(language)?;
    let names: Vec<_> = used_categories(&rules).map(name).collect();
    if let Some(missing) = names.iter().find(|name| !forms.has(name)) {
        let needed = names.join(", ");
        let detail = format!("plural lacks the form {missing}; {language} has {needed}");
        return Err(Error::new(ErrorKind::MissingArgument, detail));
    }
    if let Some(unknown) = forms.args().find(|name| !names.contains(name)) {
        let detail = format!("plural has the form {unknown}, which {language} does not use");
        return Err(Error::new(ErrorKind::TooManyArguments, detail));
    }
    let form: &str = forms.get(name(rules.category_for(number)))?;
    Ok(form.replace('#', &number.to_string()))
}

/// Returns a number for each form of a language, the lowest first.
pub(super) fn samples(language: &str) -> Vec<u32> {
    let Ok(rules) = rules(language) else {
        return Vec::new();
    };
    let first = |category| {
        let mut numbers = SAMPLES;
        numbers.find(|number| rules.category_for(*number) == category)
    };
    let mut samples: Vec<_> = used_categories(&rules).filter_map(first).collect();
    samples.sort_unstable();
    samples
}

fn rules(language: &str) -> Result<PluralRules, Error> {
    let unknown = |_| Error::new(ErrorKind::InvalidOperation, "plural: unknown language");
    let locale: Locale = language.parse().map_err(unknown)?;
    PluralRules::try_new_cardinal(locale.into()).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, "plural: no rules").with_source(error)
    })
}

/// Returns the forms of whole numbers. Some languages have another one for fractions or millions.
fn used_categories(rules: &PluralRules) -> impl Iterator<Item = PluralCategory> {
    let is_used = |category: &PluralCategory| {
        SAMPLES
            .into_iter()
            .any(|number| rules.category_for(number) == *category)
    };
    PluralCategory::all().filter(is_used)
}

fn name(category: PluralCategory) -> &'static str {
    match category {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    use super::*;

    fn render(expression: &str) -> Result<String, String> {
        let mut environment = Environment::new();
        environment.add_function("plural", plural);
        let template = format!("{{{{ {expression} }}}}");
        environment
            .render_str(&template, ())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn arabic_has_six_forms() {
        assert_eq!(samples("ar"), [0, 1, 2, 3, 11, 100]);
        let forms = "zero='0', one='1', two='2', few='few #', many='many #', other='other #'";
        for (number, expected) in [
            (0, "0"),
            (1, "1"),
            (2, "2"),
            (10, "few 10"),
            (99, "many 99"),
            (102, "other 102"),
            (103, "few 103"),
        ] {
            let rendered = render(&format!("plural('ar', {number}, {forms})"));
            assert_eq!(rendered.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn forms_must_be_those_of_the_language() {
        let missing = render("plural('en', 5, other='#')").unwrap_err();
        assert!(
            missing.contains("lacks the form one; en has one, other"),
            "{missing}"
        );
        let unknown = render("plural('en', 5, one='1', few='#', other='#')").unwrap_err();
        assert!(unknown.contains("the form few, which en"), "{unknown}");
    }
}
