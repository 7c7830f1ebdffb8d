"""The embedded model: llama.cpp's own OpenAI-compatible server, in a child process."""
