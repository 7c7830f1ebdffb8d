"""The files of a row become parts of its messages, or an error that names row, column and path."""

from __future__ import annotations

import base64
import io
from typing import Any

import orjson
import pytest
from PIL import Image

from batch.errors import FileError, RowError
from batch.media import Media
from batch.prompts import RequestBuilder
from batch.prompts.kinds import kind_of
from batch.prompts.parts import FileData, FileUrl, UnsupportedFileError, part_of
from batch.records import Request
from batch.settings.files import FileSettings
from tests.support.files import row, variant
from tests.support.pictures import MP3, PDF, picture, sound

FILES = {
    "a.png": picture(1),
    "b.jpg": picture(2, "JPEG"),
    "say.wav": sound(),
    "doc.pdf": PDF,
    "note.txt": b"caf\xc3\xa9",
    "no.png": b"text",
}
URL = "https://example.org/a.png?x=1"


class Folder:
    """A source of FILES, which counts what it reads."""

    def __init__(self, **files: bytes) -> None:
        self.files = {**FILES, **files}
        self.read_paths: list[str] = []

    def read(self, row_file: str, path: str, settings: FileSettings) -> bytes:
        """The file, as batch.storage.within reads it."""
        assert row_file == "/data/countries.jsonl"
        self.read_paths.append(path)
        if path not in self.files:
            raise FileError("missing_file", "there is no such file")
        return self.files[path]


def build(value: Any, source: Folder | None = None, provider: dict[str, Any] | None = None, prompt: Any = None, **files: Any) -> Request:
    """The request for a row with this photo."""
    settings = FileSettings(**(files or {"images": ("photo",)}))
    made = variant(None, provider, **{"user": "What is it?", **(prompt or {})}, attached=settings)
    return RequestBuilder(made, False, source or Folder()).build(row(photo=value))


def content(request: Request) -> Any:
    """The content of the last message."""
    return orjson.loads(request.body)["messages"][-1]["content"]


def data_url(raw: bytes, mime: str) -> str:
    """RFC 2397."""
    return f"data:{mime};base64,{base64.b64encode(raw).decode()}"


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("a.png", [data_url(FILES["a.png"], "image/png")]),
        (FILES["b.jpg"], [data_url(FILES["b.jpg"], "image/jpeg")]),
        ({"bytes": FILES["a.png"], "path": "x.gif"}, [data_url(FILES["a.png"], "image/png")]),
        ({"bytes": None, "path": "b.jpg"}, [data_url(FILES["b.jpg"], "image/jpeg")]),
        (URL, [URL]),
        (["a.png", URL, FILES["b.jpg"]], [data_url(FILES["a.png"], "image/png"), URL, data_url(FILES["b.jpg"], "image/jpeg")]),
        ('["a.png", "b.jpg"]', [data_url(FILES["a.png"], "image/png"), data_url(FILES["b.jpg"], "image/jpeg")]),
        (data_url(FILES["a.png"], "text/plain"), [data_url(FILES["a.png"], "image/png")]),
        ([], []),
    ],
)
def test_each_form_of_a_value_is_a_picture(value: Any, urls: list[str]) -> None:
    """Paths, URLs, bytes, {bytes, path}, data: URLs and lists of these go behind the text; the type is what the bytes say."""
    found = content(build(value, detail="low", images=("photo",)))
    if not urls:
        assert found == "What is it?"
        return
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
    assert found == [{"type": "text", "text": "What is it?"}, *parts]


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("none.png", "missing_file", "none.png: there is no such file"),
        (None, "missing_file", "null: there is none in this row"),
        (float("nan"), "missing_file", "nan: there is none"),
        ({"bytes": None, "path": None}, "missing_file", "neither bytes nor a path"),
        ({}, "missing_file", "neither bytes nor a path"),
        ("", "missing_file", "there is none"),
        ("no.png", "bad_file", "no.png: is text, where images takes pictures"),
        ("say.wav", "bad_file", "is WAV, where images"),
        (picture(1, "BMP"), "bad_file", "is BMP, which the API does not take (it takes"),
        (b"", "bad_file", "0 bytes: is empty"),
        (b"\x00\x01\x02", "bad_file", "3 bytes: is of an unknown kind"),
        (b"PK\x03\x04" + bytes(60), "bad_file", "ZIP"),
        (17, "bad_file", "17: a value of type int is no file"),
        (["a.png", 3.5], "bad_file", "3.5: a value of type float"),
        ("data:image/png;base64,*", "bad_file", "a data: URL of 23 characters: is a data: URL whose base64 cannot be read"),
        ("data:nothing", "bad_file", "is no data: URL"),
        (picture(3, size=(400, 400)), "bad_file", "more than max_file_bytes = 100,000"),
    ],
)
def test_what_cannot_be_sent_names_row_column_and_path(value: Any, code: str, words: str) -> None:
    """Each fault of a file is an error of its row: a code, the row's place and id, the column, the path, and what is wrong."""
    with pytest.raises(RowError) as caught:
        build(value, images=("photo",), max_file_bytes=100_000)
    assert caught.value.code == code
    assert str(caught.value).startswith("countries.jsonl:17 (id FR): the column 'photo': ")
    assert words in str(caught.value)


def test_a_missing_column_of_files_is_named() -> None:
    """A row without the column is missing_column, with what it has."""
    with pytest.raises(RowError, match=r"needs the column 'foto'.*did you mean 'photo'") as caught:
        build("a.png", images=("foto",))
    assert caught.value.code == "missing_column"


def test_the_form_of_each_kind_in_a_chat() -> None:
    """Sounds are input_audio with their format, PDFs file with name and data; files takes whatever comes."""
    found = content(build(["doc.pdf", "a.png", "say.wav", MP3], files=("photo",)))
    assert found[1] == {"type": "file", "file": {"filename": "doc.pdf", "file_data": data_url(PDF, "application/pdf")}}
    assert found[2]["type"] == "image_url"
    assert found[3] == {"type": "input_audio", "input_audio": {"data": base64.b64encode(FILES["say.wav"]).decode(), "format": "wav"}}
    assert found[4]["input_audio"]["format"] == "mp3"
    nameless = content(build({"bytes": PDF, "path": "/home/me/a/secret name.pdf"}, files=("photo",)))
    assert nameless[1]["file"]["filename"] == "secret name.pdf"


@pytest.mark.parametrize(
    ("api", "name", "part"),
    [
        ("responses", "a.png", {"type": "input_image", "image_url": data_url(FILES["a.png"], "image/png"), "detail": "high"}),
        ("responses", "doc.pdf", {"type": "input_file", "filename": "doc.pdf", "file_data": data_url(PDF, "application/pdf")}),
        (
            "responses",
            "say.wav",
            {"type": "input_audio", "input_audio": {"data": base64.b64encode(FILES["say.wav"]).decode(), "format": "wav"}},
        ),
        ("responses", URL, {"type": "input_file", "file_url": URL}),
        (
            "messages",
            "a.png",
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(FILES["a.png"]).decode()}},
        ),
        (
            "messages",
            "doc.pdf",
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(PDF).decode()},
                "title": "doc.pdf",
            },
        ),
        (
            "messages",
            "note.txt",
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "café"}, "title": "note.txt"},
        ),
        ("messages", URL, {"type": "document", "source": {"type": "url", "url": URL}}),
        ("messages", "say.wav", None),
        ("chat/completions", URL, None),
        ("chat/completions", "note.txt", None),
    ],
)
def test_the_form_of_each_api(api: Any, name: str, part: Any) -> None:
    """Responses and Messages have their own parts; what an API has no part for is refused, with a hint where there is another way."""
    file = FileUrl(name) if name == URL else FileData(FILES[name], kind_of(FILES[name]), name)
    if part is None:
        with pytest.raises(UnsupportedFileError) as caught:
            part_of(api, "files", file, detail="high")
        assert ("file_text" in str(caught.value)) == (name == "note.txt")
        return
    assert part_of(api, "files", file, detail="high").body == part


def test_files_in_requests_of_the_messages_api() -> None:
    """Pictures and PDFs are blocks of the user's last turn, the key covers them, and sounds are refused."""
    made = variant(api="messages", system="s", user="What?", attached=FileSettings(files=("photo",)))
    requests = [RequestBuilder(made, False, Folder()).build(row(photo=value)) for value in (["a.png", "doc.pdf"], ["b.jpg", "doc.pdf"])]
    body = orjson.loads(requests[0].body)
    assert body["system"] == "s"
    assert [block["type"] for block in body["messages"][0]["content"]] == ["text", "image", "document"]
    assert body["messages"][0]["content"][1]["source"]["media_type"] == "image/png"
    assert requests[0].media == Media(1, 0, 1, requests[0].media.bytes, requests[0].media.picture_bytes)
    assert requests[0].key != requests[1].key
    with pytest.raises(RowError, match="is WAV, which the API does not take"):
        RequestBuilder(made, False, Folder()).build(row(photo="say.wav"))


def test_a_provider_takes_its_formats_of_sounds() -> None:
    """OpenAI takes WAV and MP3 only; other servers get what there is."""
    flac = b"fLaC\0\0\0\x22" + bytes(60)
    assert content(build(flac, audio=("photo",)))[1]["input_audio"]["format"] == "flac"
    with pytest.raises(RowError, match="is FLAC, which the API does not take"):
        build(flac, provider={"audio_formats": ("wav", "mp3")}, audio=("photo",))


def test_the_key_covers_the_content_and_what_decides_how_it_is_sent() -> None:
    """Equal bytes have one key by whatever path or name; other bytes, another detail or size limit another one."""
    named = build("a.png").key
    assert build(FILES["a.png"]).key == build({"bytes": FILES["a.png"], "path": "other.png"}).key == named
    others = [
        build("a.png", Folder(**{"a.png": picture(9)})).key,
        build("a.png", images=("photo",), detail="low").key,
        build("a.png", images=("photo",), max_pixels=50).key,
        build(["a.png", "a.png"]).key,
        build(URL).key,
        build([]).key,
    ]
    assert len({named, *others}) == 7
    assert build([]).key == build("a.png", images=()).key, "a row without files has the key that it has without the setting"


def test_media_counts_what_was_put_in() -> None:
    """Pictures, sounds and files are counted, with their bytes in the body: also those that a template puts in by a filter."""
    request = build(["doc.pdf", "a.png", "say.wav"], files=("photo",))
    sizes = [len(base64.b64encode(FILES[name])) for name in ("doc.pdf", "a.png", "say.wav")]
    assert request.media == Media(1, 1, 1, sum(sizes), sizes[1])
    assert build([]).media is None
    assert build(URL).media == Media(1, 0, 0, 0, 0)
    by_hand = build("a.png", prompt={"user": "{{ photo | data_url }}"}, images=())
    assert by_hand.media == Media(1, 0, 0, sizes[1], sizes[1])


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("{{ photo | data_url }}", "a.png", data_url(FILES["a.png"], "image/png")),
        ("{{ photo | data_url('image/x') }}", "a.png", data_url(FILES["a.png"], "image/x")),
        ("{{ photo | data_url }}", URL, URL),
        ("{{ photo | base64 }}", "doc.pdf", base64.b64encode(PDF).decode()),
        ("{{ photo | base64 }}", {"bytes": PDF, "path": None}, base64.b64encode(PDF).decode()),
        ("{{ photo | base64(text=true) }}", "a.png", base64.b64encode(b"a.png").decode()),
        ("{{ photo | file_text | upper }}", "note.txt", "CAFÉ"),
        ("{{ photo | file_text }}", b"\xef\xbb\xbfx", "x"),
        ("{% for p in photo %}{{ p | file_text }} {% endfor %}", ["note.txt", "no.png"], "café text "),
    ],
)
def test_filters_put_files_into_messages_by_hand(template: str, value: Any, text: str) -> None:
    """`data_url`, `base64` and `file_text` read what a value names or holds."""
    assert content(build(value, prompt={"user": template}, images=())) == text


@pytest.mark.parametrize(
    ("template", "value", "words"),
    [
        ("{{ photo | file_text }}", "a.png", "the column 'photo': a.png: is PNG, not text in UTF-8"),
        ("{{ photo | file_text }}", URL, "is a URL, whose text is not fetched"),
        ("{{ photo | data_url }}", "none", "the column 'photo': none: there is no such file"),
        ("{% for p in photo %}{{ p | data_url }}{% endfor %}", ["none"], "the column 'photo': none: there is no such file"),
        ("{{ photo | base64 }}", URL, "a URL is not fetched"),
        ("{{ 'x' | data_url }}", "", "the prompt: x: there is no such file"),
    ],
)
def test_a_filter_that_fails_names_the_file(template: str, value: Any, words: str) -> None:
    """An error within a template names row, column and path too."""
    with pytest.raises(RowError, match=r"countries\.jsonl:17") as caught:
        build(value, prompt={"user": template}, images=())
    assert words in str(caught.value)


def test_files_go_with_the_last_message_of_the_user() -> None:
    """In a chat of several messages the user's last one gets the files, and the row's own chat is not changed."""
    chat = [{"role": "user", "content": [{"type": "text", "text": "one"}]}, {"role": "assistant", "content": "two"}]
    made = variant(messages="chat", attached=FileSettings(images=("photo",)))
    request = RequestBuilder(made, False, Folder()).build(row(chat=chat, photo="a.png"))
    sent = orjson.loads(request.body)["messages"]
    assert [part["type"] for part in sent[0]["content"]] == ["text", "image_url"]
    assert sent[1] == chat[1]
    assert len(chat[0]["content"]) == 1
    with pytest.raises(RowError, match="no message of the user") as caught:
        RequestBuilder(made, False, Folder()).build(row(chat=chat[1:], photo="a.png"))
    assert caught.value.code == "bad_messages"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pictures_are_shrunk(kind: str) -> None:
    """max_pixels bounds each picture, keeps its shape and, where the API takes it, its kind; BMP and TIFF become PNG."""
    raw = picture(5, kind, (200, 100))
    small = content(build(raw, images=("photo",), max_pixels=5000))[1]["image_url"]["url"]
    with Image.open(io.BytesIO(base64.b64decode(small.partition(",")[2]))) as made:
        assert made.size == (100, 50)
        assert made.format == {"JPEG": "JPEG", "WEBP": "WEBP"}.get(kind, "PNG")
    if kind in {"PNG", "JPEG", "WEBP", "GIF"}:
        assert small != (kept := content(build(raw, images=("photo",), max_pixels=20_000))[1]["image_url"]["url"])
        assert base64.b64decode(kept.partition(",")[2]) == raw


def test_a_turned_photo_stands_upright_when_it_is_shrunk() -> None:
    """A JPEG whose EXIF turns it is turned in its pixels: what is written has no EXIF."""
    photo = Image.new("RGB", (80, 40), "blue")
    photo.paste("red", (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    written = io.BytesIO()
    photo.save(written, "JPEG", exif=exif)
    url = content(build(written.getvalue(), images=("photo",), max_pixels=800))[1]["image_url"]["url"]
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as made:
        assert made.size == (20, 40)
        assert made.getpixel((10, 5))[0] > 200
        assert made.getpixel((10, 35))[2] > 200


@pytest.mark.parametrize("raw", [picture(1)[:60], b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_damaged_picture_that_must_be_shrunk_is_an_error(raw: bytes) -> None:
    """Whatever Pillow raises is bad_file of the row."""
    with pytest.raises(RowError, match="cannot be read as a picture") as caught:
        build(raw, images=("photo",), max_pixels=10)
    assert caught.value.code == "bad_file"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (picture(0, "PNG"), "png"),
        (picture(0, "JPEG"), "jpeg"),
        (picture(0, "GIF"), "gif"),
        (picture(0, "WEBP"), "webp"),
        (picture(0, "BMP"), "bmp"),
        (picture(0, "TIFF"), "tiff"),
        (sound(), "wav"),
        (MP3, "mp3"),
        (b"\xff\xfb\x90\x00" + bytes(413), "mp3"),
        (b"ID3\x04\0\0\0\0\0\0" + MP3, "mp3"),
        (b"OggS\0\x02" + bytes(22) + b"\x01\x1eOpusHead", "ogg"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom", "m4a"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "avif"),
        (PDF, "pdf"),
        (b"%PDF-1.4\nall ASCII\n", "pdf"),
        (b"BM is a band", "txt"),
        (b"GIF89 is no picture", "txt"),
        (b"ID3 is a tag", "txt"),
        ("Привет".encode(), "txt"),
        (b"\x80\x81\x82", "bin"),
        (b"a\0b", "bin"),
    ],
)
def test_the_kind_is_what_the_bytes_say(raw: bytes, name: str) -> None:
    """Known kinds are found from their first bytes; a text that begins as one of them does is a text."""
    assert kind_of(raw).name == name
