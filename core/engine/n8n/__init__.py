"""n8n as the engine: its public API, and what stepline puts there."""
