package app

import (
	"github.com/rs/zerolog"

	"deskmate/bot"
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
