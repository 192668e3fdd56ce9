"""A member database in Django, as small as it can be: one model, one outbox, in `members.db`."""

import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import execute_from_command_line

sys.path.insert(0, str(Path(__file__).parent))
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "members.db"}},
    INSTALLED_APPS=["members"],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
execute_from_command_line(sys.argv)
