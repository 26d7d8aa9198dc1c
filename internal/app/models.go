package app

import (
	"github.com/rs/zerolog"

	"deskmate/bot"
	"deskmate/memory"
)

// chooseModel makes the model that the configuration names; the built-in rules
// where it names none.
func chooseModel(c Config, log zerolog.Logger) (bot.Model, error) {
	if c.OpenAIKey == "" && c.OpenAIURL == "" {
		log.Info().Msg("no model is configured: the built-in rules answer")
		return bot.NewRules(), nil
	}
	if c.Model == "" {
		return nil, &ConfigError{[]string{"model (from nowhere): a model server is configured, but no model; expected a model name that the server knows, in DESKMATE_MODEL"}}
	}
	return bot.ConnectOpenAI(bot.OpenAIOptions{Key: c.OpenAIKey, BaseURL: c.OpenAIURL, Model: c.Model, Fallbacks: c.ModelFallbacks}, bot.RetryPolicy{})
}

// chooseEmbedder makes the embedder that the configuration names, nil for none.
func chooseEmbedder(c Config) (memory.Embedder, error) {
	switch {
	case c.EmbeddingModel == "":
		return nil, nil
	case c.OpenAIKey == "" && c.OpenAIURL == "":
		return nil, &ConfigError{[]string{"embedding_model: an embedding model is named, but no model server; expected OPENAI_BASE_URL or OPENAI_API_KEY"}}
	}
	return bot.NewOpenAIEmbedder(c.OpenAIKey, c.OpenAIURL, c.EmbeddingModel), nil
}
