"""Write requests and read answers as files of OpenAI's Batch API."""
