//! Embeds the templates of mails.

fn main() {
    minijinja_embed::embed_templates!("templates");
}
