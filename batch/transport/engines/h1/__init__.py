"""The default HTTP engine: HTTP/1.1 in the event loop, an asyncio Protocol over httptools (llhttp)."""
