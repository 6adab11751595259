"""Between ids and text: tokenizer, chat template, vocabulary, stop words."""
