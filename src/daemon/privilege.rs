//! From root to a user, and no way back: group list, then group, then user.
//!
//! The order matters: who is no longer root may not change its groups. Afterwards it is tried whether
//! root can be had again: a server that only believes that it has dropped its rights is worse than
//! one that knows that it has them.
//!
//! - Notes: notes/13-daemon.md
//! - Manual: credentials(7), setgroups(2), setresgid(2), setresuid(2), prctl(2) (PR_SET_NO_NEW_PRIVS)
//! - Try: grep -E 'Uid|Gid|Groups|NoNewPrivs' /proc/$(pgrep -x sockstep)/status

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{
    Gid, Uid, geteuid, getgroups, getresgid, getresuid, setgid, setgroups, setresgid, setresuid, setuid,
};

use crate::error::{During, Error, Hint, Result, describe};
use crate::sandbox::Capabilities;

/// Who the server is to be.
#[derive(Clone, Debug)]
pub struct User {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl User {
    /// Looks `name` up, before anything is done, and whether we may become it.
    pub fn find(name: &str) -> Result<User> {
        let refused = |reason: String, hint: Hint| Error::Refused { what: format!("user {name}"), reason, hint };
        let known = "`getent passwd`로 이 컴퓨터에 있는 사용자를 확인하십시오.";
        let user = match nix::unistd::User::from_name(name) {
            Ok(Some(user)) => User { name: name.into(), uid: user.uid, gid: user.gid },
            Ok(None) => return Err(refused("no such user".into(), known.into())),
            Err(errno) => return Err(refused(describe(errno), known.into())),
        };
        if !geteuid().is_root() && geteuid() != user.uid {
            let hint =
                "다른 사용자의 권한으로 실행하려면 root로 시작해야 합니다. 지금 사용자로 실행하려면 --user를 빼십시오.";
            return Err(refused(describe(Errno::EPERM), hint.into()));
        }
        Ok(user)
    }

    pub fn uid(&self) -> Uid {
        self.uid
    }

    pub fn gid(&self) -> Gid {
        self.gid
    }

    /// We are root, and this user is not: there is something to drop.
    pub fn is_less_than_we(&self) -> bool {
        geteuid().is_root() && !self.uid.is_root()
    }

    /// Becomes this user for good. Root stays root, and who is not root has nothing to drop.
    ///
    /// `children_enter`: children are going to have another root, and need one capability for that.
    pub fn become_it(&self, children_enter: bool) -> Result<()> {
        if !self.is_less_than_we() {
            return Ok(());
        }
        if children_enter {
            prctl::set_keepcaps(true).during("prctl", "PR_SET_KEEPCAPS")?;
        }
        // [13.user]
        setgroups(&[self.gid]).during("setgroups", self.gid)?;
        setresgid(self.gid, self.gid, self.gid).during("setresgid", self.gid)?;
        setresuid(self.uid, self.uid, self.uid).during("setresuid", self.uid)?;
        prctl::set_no_new_privs().during("prctl", "PR_SET_NO_NEW_PRIVS")?; // no set-user-ID program helps either
        if children_enter {
            Capabilities::to_enter(false).take().during("capset", "CAP_SYS_CHROOT")?;
            prctl::set_keepcaps(false).during("prctl", "PR_SET_KEEPCAPS")?;
        }
        self.check().map_err(|reason| Error::Refused {
            what: format!("user {}", self.name),
            reason: reason.into(),
            hint: "권한을 내려놓지 못해 시작하지 않았습니다.".into(),
        })?;
        log::info!("running as {} (uid {}, gid {})", self.name, self.uid, self.gid);
        Ok(())
    }

    /// What the kernel says we are now, and that root cannot be had again.
    fn check(&self) -> std::result::Result<(), &'static str> {
        let users = getresuid().map(|ids| [ids.real, ids.effective, ids.saved]);
        let groups = getresgid().map(|ids| [ids.real, ids.effective, ids.saved]);
        if users != Ok([self.uid; 3]) || groups != Ok([self.gid; 3]) || getgroups() != Ok(vec![self.gid]) {
            return Err("the kernel does not show the new identity");
        }
        let root = Uid::from_raw(0);
        if setuid(root).is_ok() || setresuid(root, root, root).is_ok() {
            return Err("root could be had again");
        }
        if self.gid.as_raw() != 0 && setgid(Gid::from_raw(0)).is_ok() {
            return Err("the group of root could be had again");
        }
        Ok(())
    }

    /// A daemon of root's must have been asked for by name: nobody runs one by oversight.
    pub fn refuse_root() -> Result<()> {
        if !geteuid().is_root() {
            return Ok(());
        }
        Err(Error::Refused {
            what: "--daemon".into(),
            reason: "refused as root without --user".into(),
            hint: "데몬을 어느 사용자의 권한으로 실행할지 정하십시오. 예: --user nobody (정말 root로 실행하려면 --user root). make로 시작할 때는 `make start ARGS=\"--user nobody\"`처럼 적습니다.".into(),
        })
    }
}
